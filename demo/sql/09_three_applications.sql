-- How many customers are there?
SELECT count(*) FROM customers;

-- Where do I write to customer 42?
SELECT email FROM customers WHERE id = 42;

-- And what is the telephone number?
SELECT phone FROM customers WHERE id = 42;

-- In which year was the average customer born?
SELECT round(avg(extract(year FROM birth_date))) FROM customers;

-- How many orders came in December?
SELECT count(*) FROM orders WHERE placed_at >= '2025-12-01';

-- What did December earn, by the view sales_by_month?
SELECT revenue FROM sales_by_month WHERE month = '2025-12-01';

-- How many may the newsletter go to, by the view newsletter_audience?
SELECT count(*) FROM newsletter_audience;

-- What does the administrator's function say of one customer?
SELECT full_name, phone FROM find_customer('nadia.sorensen42@post.example');

-- With which cards did people pay?
SELECT count(DISTINCT card_last4) FROM payments;

-- How many visits do we know of, and from how many network addresses?
SELECT count(*) FROM events;

SELECT count(DISTINCT ip) FROM events;

-- What does our staff earn?
SELECT round(avg(salary)) FROM staff;

-- What sells best? (a materialised view with nothing personal in it)
SELECT name FROM product_sales ORDER BY sold DESC LIMIT 1;
