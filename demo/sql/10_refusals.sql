-- A refusal says what was asked, why it was refused and what to do about it.
\set ON_ERROR_STOP off
\connect - marketing_app
-- Expected error: the label of the column prohibits marketing.
SELECT full_name, phone FROM customers WHERE id = 42;

-- Expected error: to filter by a column is to use it.
SELECT count(*) FROM customers WHERE phone LIKE '%7';

-- Expected error: marketing_app was not granted the purpose.
SET purpose.current = 'hr';

-- Expected error: there is no such purpose.
SET purpose.current = 'marketting';

-- Expected error: a session that declares nothing gets nothing.
SET purpose.current = '';
SELECT full_name FROM customers WHERE id = 42;

-- What nobody needs to ask for is served: this view has labelled columns, the
-- query does not use them.
RESET purpose.current;
SELECT count(*), round(avg(revenue)) AS "average revenue" FROM customer_overview WHERE country = 'AT';
