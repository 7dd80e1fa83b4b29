# shellcheck shell=bash
#
# Opening sealed values, against pgcrypto
#
# "Warm": the person's key was derived for the value before.  "Cold": every value
# is another person's.  The rivals encrypt the same texts: decrypt_iv with one key
# for all, which is what a column is mostly encrypted by; pgp_sym_decrypt, which
# derives a key from a passphrase for each value.

. "$BENCH/lib/sealed.sh"

OPENING_SLOW=200				# values for pgp_sym_decrypt, a thousand times as slow

opening_prepare()
{
	sealed_database
	# A sort opens a value for each comparison: fewer of them.
	opening_sorted=$((subjects / 20))
	bench_sql sealed "
		CREATE TABLE person_iv AS SELECT id, encrypt_iv(value::bytea, decode(repeat('ab', 32), 'hex'),
			decode(repeat('cd', 16), 'hex'), 'aes-cbc/pad:pkcs') AS value FROM person_plain;
		CREATE TABLE person_pgp AS SELECT id, pgp_sym_encrypt(value, 'a passphrase') AS value
			FROM person_plain LIMIT $OPENING_SLOW;
		GRANT SELECT ON ALL TABLES IN SCHEMA public TO bench_app;
		VACUUM ANALYZE"
}

opening_round()
{
	local plain warm cold iv pgp sort_sealed sort_plain

	plain=$(sealed_ms "SELECT count(value::text || '') FROM person_plain")
	warm=$(sealed_ms "SELECT count(value::text) FROM one_sealed")
	iv=$(sealed_ms "SELECT count(decrypt_iv(value, decode(repeat('ab', 32), 'hex'), decode(repeat('cd', 16), 'hex'),
		'aes-cbc/pad:pkcs')) FROM person_iv")
	cold=$(sealed_ms "SELECT count(value::text) FROM person_sealed")
	pgp=$(sealed_ms "SELECT count(pgp_sym_decrypt(value, 'a passphrase')) FROM person_pgp")
	warm=$(over "$warm" "$plain" "$subjects")
	cold=$(over "$cold" "$plain" "$subjects")
	iv=$(over "$iv" "$plain" "$subjects")
	figure P7 "open a value and its keys warm: over plain" us '<= 0.7' "$warm"
	figure P7 "open a value of another person each: over plain" us '<= 2' "$cold"
	figure P7 "pgcrypto decrypt_iv: over plain" us - "$iv"
	figure P7 "pgcrypto decrypt_iv / open warm" x '>= 2' "$(ratio "$iv" "$warm")"
	figure P7 "pgcrypto pgp_sym_decrypt" us - "$(over "$pgp" 0 $OPENING_SLOW)"
	sort_sealed=$(sealed_ms "SELECT count(*) FROM (SELECT value FROM person_sealed WHERE id <= $opening_sorted ORDER BY value OFFSET 0) s")
	sort_plain=$(sealed_ms "SELECT count(*) FROM (SELECT value FROM person_plain WHERE id <= $opening_sorted ORDER BY value OFFSET 0) s")
	figure P7 "ORDER BY a sealed column / a plain one" x - "$(ratio "$sort_sealed" "$sort_plain")"
}
