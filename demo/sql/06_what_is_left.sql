-- With a purpose declared, what is left are the real questions: columns that the
-- purpose does not cover, and people who have not consented to it.
SELECT role, relation, "column", purpose, reason, count
FROM purpose.observed_violations
WHERE purpose <> '' ORDER BY role, relation, "column" NULLS FIRST;
