-- From here on, what was written down is refused. One table after another, or
-- all of them:
\o /dev/null
SELECT purpose.set_mode(relation, 'enforce') FROM purpose.protected_tables;
\o
SELECT mode, count(*) AS tables FROM purpose.protected_tables GROUP BY mode;
