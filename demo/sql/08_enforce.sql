-- From here on, what was written down is refused. One table after another, or
-- all of them:
SELECT relation, purpose.set_mode(relation, 'enforce') FROM purpose.protected_tables;
