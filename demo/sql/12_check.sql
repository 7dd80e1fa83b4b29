\connect - privacy_officer
-- What is still missing? The extension looks for itself.
SELECT severity, object, problem, remedy FROM purpose.check();
