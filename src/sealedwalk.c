/*
 * sealedwalk.c
 *		Finds the sealed values in a value: in arrays, composite types, domains.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "sealedwalk.h"

/*
 * Calls visit(context, ...) for each sealed value in `value`, which is of type
 * `type`, and returns the value with what it returned in their places; sets
 * *changed if that is another one.  Raises 0A000 for a sealed value where it
 * cannot be stored, as in a range.
 */
Datum
sealedwalk(Datum value, Oid type, int32 typmod, SealedVisitor visit, void *context, bool *changed)
{
	const SealedType *sealed;
	Oid			element;
	Oid			base = type;

	check_stack_depth();
	sealed = sealedtype_find(type);
	if (sealed == NULL)
	{
		base = getBaseTypeAndTypmod(type, &typmod);
		if (!sealedtype_contained(base))
			return value;
		sealed = sealedtype_find(base);
	}
	if (sealed != NULL)
	{
		SealedType	copy = *sealed;
		Datum		result = visit(context, &copy, typmod, value);

		*changed |= DatumGetPointer(result) != DatumGetPointer(value);
		return result;
	}
	element = get_element_type(base);
	if (OidIsValid(element))
	{
		ArrayType  *array = DatumGetArrayTypeP(value);
		int16		len;
		bool		byval;
		char		align;
		Datum	   *elements;
		bool	   *nulls;
		int			n;
		bool		element_changed = false;

		get_typlenbyvalalign(element, &len, &byval, &align);
		deconstruct_array(array, element, len, byval, align, &elements, &nulls, &n);
		for (int i = 0; i < n; i++)
		{
			if (!nulls[i])
				elements[i] = sealedwalk(elements[i], element, typmod, visit, context,
										 &element_changed);
		}
		if (!element_changed)
			return value;
		*changed = true;
		return PointerGetDatum(construct_md_array(elements, nulls, ARR_NDIM(array),
												  ARR_DIMS(array), ARR_LBOUND(array),
												  element, len, byval, align));
	}
	if (get_typtype(base) == TYPTYPE_COMPOSITE)
	{
		HeapTupleHeader header = DatumGetHeapTupleHeader(value);
		TupleDesc	desc = lookup_rowtype_tupdesc_copy(HeapTupleHeaderGetTypeId(header),
													   HeapTupleHeaderGetTypMod(header));
		HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};
		Datum	   *values = palloc(desc->natts * sizeof(Datum));
		bool	   *nulls = palloc(desc->natts * sizeof(bool));
		bool		field_changed = false;

		heap_deform_tuple(&tuple, desc, values, nulls);
		for (int i = 0; i < desc->natts; i++)
		{
			Form_pg_attribute attribute = TupleDescAttr(desc, i);

			if (!nulls[i] && !attribute->attisdropped)
				values[i] = sealedwalk(values[i], attribute->atttypid, attribute->atttypmod,
									   visit, context, &field_changed);
		}
		if (!field_changed)
			return value;
		*changed = true;
		return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
	}
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("values of type %s cannot be stored", format_type_be(type)),
			 errdetail("A range of sealed values has no order that all sessions agree on.")));
	return value;
}
