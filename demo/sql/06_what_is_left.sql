-- With a purpose declared, what is left are the real questions: columns that the
-- purpose does not cover, and people who have not consented to it. (The rule for
-- rows counts each row that a query looks at, also those that it drops later.)
SELECT role, relation, "column", purpose, reason, count
FROM purpose.observed_violations
WHERE purpose <> '' ORDER BY role, relation::text, "column" NULLS FIRST;
