-- The shop's roles. Who may read, may read everything: the applications share
-- one group, as they do in many shops.

CREATE ROLE shop_owner NOLOGIN;
CREATE ROLE shop_readers NOLOGIN;
CREATE ROLE billing_app LOGIN IN ROLE shop_readers;
CREATE ROLE marketing_app LOGIN IN ROLE shop_readers;
CREATE ROLE analytics_app LOGIN IN ROLE shop_readers;
CREATE ROLE preference_centre LOGIN;

GRANT CREATE ON SCHEMA public TO shop_owner;
