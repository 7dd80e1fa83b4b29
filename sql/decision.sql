-- THE truth table: purpose._decide(), through which everything that asks goes,
-- against the rule written down a second time, independently, in SQL.
--
-- The dimensions: legal basis of the purpose x what the person said x
-- restriction x whether the purpose may pass it x what the label says about the
-- purpose (and what it does instead of refusing) x mode x who asks x the state
-- of the declaration (declared, unset, empty, unknown, justified or not).

--
-- The vocabulary: for each basis a family d_<basis> > .p > .c, and the same with
-- despite_restriction (dr_) and with requires_justification (dj_).
--
CREATE ROLE regress_purpose_decision_holder;
CREATE ROLE regress_purpose_decision_other;
CREATE ROLE regress_purpose_decision_bypass BYPASSRLS;
CREATE ROLE regress_purpose_decision_super SUPERUSER;
CREATE TEMP TABLE basis (basis text, model text);
INSERT INTO basis VALUES ('consent', 'opt_in'), ('contract', 'none'), ('legal_obligation', 'none'),
	('vital_interests', 'none'), ('public_task', 'opt_out'), ('legitimate_interests', 'opt_out');
SELECT count(purpose.create_purpose(n || below, CASE WHEN below = '' THEN basis END,
			requires_justification => CASE WHEN below = '' THEN n LIKE 'dj%' END,
			despite_restriction => CASE WHEN below = '' THEN n LIKE 'dr%' END)) AS purposes
FROM (SELECT prefix || basis AS n, basis, below, ord FROM basis, unnest('{d_,dr_,dj_}'::text[]) prefix,
		unnest('{"",.p,.p.c}'::text[]) WITH ORDINALITY b(below, ord) ORDER BY ord, 1) v;
SELECT count(purpose.create_purpose('d_unrelated', 'contract')) AS purposes;
SELECT count(purpose.grant_purpose(prefix || basis, 'regress_purpose_decision_holder')) AS grants
FROM basis, unnest('{d_,dr_,dj_}'::text[]) prefix;

--
-- What the label says about the purpose P = <root>.p.  permits: does it allow P
-- at all; instead: what it does when it refuses.
--
CREATE TEMP TABLE relation (relation text, label text, permits boolean, prohibits boolean);
INSERT INTO relation VALUES
	('no label', NULL, true, false),
	('allows it', 'for %s.p', true, false),
	('allows ancestor', 'for %s', true, false),
	('allows descendant', 'for %s.p.c', false, false),
	('allows other', 'for d_unrelated', false, false),
	('allows unknown', 'for d_nothing', false, false),
	('allows it and other', 'for d_unrelated, %s.p', true, false),
	('prohibits it', 'for %s never %1$s.p', true, true),
	('prohibits ancestor', 'for %s.p never %1$s', true, true),
	('prohibits descendant', 'for %s never %1$s.p.c', true, true),
	('prohibits other', 'for %s never d_unrelated', true, false),
	('neither', 'for d_unrelated never %s.p', false, true);

CREATE TEMP TABLE cell AS
SELECT row_number() OVER () AS n, b.basis, b.model, f.flag, r.relation, r.permits, r.prohibits, i.instead,
	   format(r.label, f.prefix || b.basis) || i.clause AS label,
	   s.status, CASE s.status WHEN 'unset' THEN NULL WHEN 'empty' THEN '' WHEN 'unknown' THEN 'd_nothing'
				 ELSE f.prefix || b.basis || '.p' END AS purpose,
	   CASE WHEN s.status = 'justified' THEN 'ticket' ELSE '' END AS justification,
	   c.state, x.restricted, m.mode, w.who, w.role
FROM basis b
CROSS JOIN (VALUES ('plain', 'd_'), ('despite restriction', 'dr_'), ('justification', 'dj_')) f(flag, prefix)
CROSS JOIN relation r
JOIN (VALUES ('error', ''), ('null', ' else null'), ('expression', ' else ''0''')) i(instead, clause)
	ON i.instead = 'error' OR r.label IS NOT NULL
CROSS JOIN (VALUES ('declared'), ('justified'), ('unset'), ('empty'), ('unknown')) s(status)
CROSS JOIN (VALUES (NULL), ('none'), ('given'), ('refused'), ('withdrawn'), ('expired'), ('objected')) c(state)
CROSS JOIN (VALUES (false), (true)) x(restricted)
CROSS JOIN (VALUES ('enforce'), ('observe')) m(mode)
CROSS JOIN (VALUES ('bound, granted', 'regress_purpose_decision_holder'::regrole::oid),
				   ('bound, not granted', 'regress_purpose_decision_other'::regrole::oid),
				   ('bypassrls', 'regress_purpose_decision_bypass'::regrole::oid),
				   ('superuser', 'regress_purpose_decision_super'::regrole::oid),
				   ('any holder', 0::oid)) w(who, role);
-- A label that cannot be read refuses whatever the purpose.
INSERT INTO cell SELECT n + 10000000, basis, model, flag, 'broken', NULL, NULL, 'error', 'for', status, purpose, justification,
	state, restricted, mode, who, role
FROM cell WHERE relation = 'no label';

--
-- The rule, in the words of DESIGN 3 and 4.
--
CREATE TEMP VIEW ruled AS
SELECT *, CASE
		WHEN who IN ('superuser', 'bypassrls') THEN 'exempt'
		WHEN status = 'unset' THEN 'unset'
		WHEN status = 'empty' THEN 'empty'
		WHEN status = 'unknown' THEN 'unknown'
		WHEN who = 'bound, not granted' THEN 'ungranted'
		WHEN flag = 'justification' AND status <> 'justified' THEN 'unjustified'
		WHEN relation = 'broken' THEN 'broken'
		WHEN prohibits THEN 'prohibited'
		WHEN NOT permits THEN 'not allowed'
		-- From here on it is the person who decides, if the data is anybody's.
		WHEN state IS NULL THEN 'yes'
		WHEN restricted AND flag <> 'despite restriction' THEN 'restricted'
		WHEN model = 'none' THEN 'yes'
		WHEN model = 'opt_in' THEN CASE WHEN state = 'given' THEN 'yes' ELSE state END
		-- Consent that has lapsed lifted an objection for a time: it never permits.
		WHEN model = 'opt_out' THEN CASE WHEN state IN ('given', 'none') THEN 'yes' ELSE state END
	END AS answer
FROM cell;
CREATE TEMP TABLE words (answer text, reason text);
INSERT INTO words VALUES ('yes', 'permitted'), ('exempt', 'role is exempt'), ('unset', 'no purpose declared'),
	('empty', 'empty purpose declared'), ('unknown', 'purpose does not exist'), ('ungranted', 'purpose not granted to role'),
	('unjustified', 'justification missing'), ('broken', 'label cannot be read'), ('prohibited', 'label prohibits purpose'),
	('not allowed', 'label does not allow purpose'), ('restricted', 'processing restricted'), ('none', 'consent not given'),
	('refused', 'consent refused'), ('withdrawn', 'consent withdrawn'), ('expired', 'consent expired'), ('objected', 'subject objected');

CREATE TEMP TABLE judged AS
SELECT r.*, w.reason AS want_reason,
	   CASE WHEN r.answer IN ('yes', 'exempt') OR r.mode = 'observe' THEN 'allow'
			-- Redaction is for what a label refuses; other refusals stay errors.
			WHEN r.answer IN ('prohibited', 'not allowed') AND r.instead <> 'error' THEN 'redact'
			ELSE 'deny' END AS want_verdict,
	   r.answer NOT IN ('yes', 'exempt') AND r.mode = 'observe' AS want_observed,
	   d.verdict, d.reason, d.observed
FROM ruled r LEFT JOIN words w USING (answer),
	 purpose._decide(r.role, r.purpose, r.justification, CASE WHEN r.label IS NOT NULL THEN ARRAY[r.label] END, r.state, r.restricted, r.mode) d;

SELECT count(*) AS cells, count(*) FILTER (WHERE verdict = 'allow' AND NOT observed) AS allow,
	   count(*) FILTER (WHERE verdict = 'allow' AND observed) AS observed,
	   count(*) FILTER (WHERE verdict = 'redact') AS redact, count(*) FILTER (WHERE verdict = 'deny') AS deny
FROM judged;
-- Every answer of the rule occurs.
SELECT answer, count(*) AS cells FROM ruled GROUP BY answer ORDER BY answer;
-- No mismatch.
SELECT basis, flag, relation, instead, status, state, restricted, mode, who,
	   want_verdict, verdict, want_reason, reason, want_observed, observed
FROM judged
WHERE (want_verdict, want_reason, want_observed) IS DISTINCT FROM (verdict, reason, observed)
ORDER BY n LIMIT 20;

--
-- The same, to be read: enforced, a granted role, no label.
--
SELECT basis,
	   max(CASE WHEN state = 'none' THEN reason END) AS "nothing on record",
	   max(CASE WHEN state = 'given' THEN reason END) AS given,
	   max(CASE WHEN state = 'refused' THEN reason END) AS refused,
	   max(CASE WHEN state = 'withdrawn' THEN reason END) AS withdrawn,
	   max(CASE WHEN state = 'expired' THEN reason END) AS expired,
	   max(CASE WHEN state = 'objected' THEN reason END) AS objected,
	   max(CASE WHEN state IS NULL THEN reason END) AS "nobody's data"
FROM judged WHERE who = 'bound, granted' AND mode = 'enforce' AND flag = 'plain' AND relation = 'no label'
AND status = 'declared' AND NOT restricted GROUP BY basis ORDER BY basis;
-- Restricted (GDPR Art. 18), and the purposes that may pass it.
SELECT flag, state, string_agg(DISTINCT basis || ': ' || reason, ', ' ORDER BY basis || ': ' || reason) AS "when restricted"
FROM judged WHERE who = 'bound, granted' AND mode = 'enforce' AND flag IN ('plain', 'despite restriction') AND relation = 'no label'
AND status = 'declared' AND restricted AND basis IN ('consent', 'contract', 'public_task') AND state IN ('given', 'objected')
GROUP BY flag, state ORDER BY flag DESC, state;
-- The label, where the person permits.
SELECT relation,
	   max(CASE WHEN instead = 'error' THEN verdict || ': ' || reason END) AS "else error",
	   max(CASE WHEN instead = 'null' THEN verdict END) AS "else null",
	   max(CASE WHEN instead = 'expression' THEN verdict END) AS "else '0'"
FROM judged WHERE who = 'bound, granted' AND mode = 'enforce' AND flag = 'plain' AND status = 'declared' AND state = 'given'
AND NOT restricted AND basis = 'consent' GROUP BY relation ORDER BY relation;
-- Who asks, and how the purpose is declared.
SELECT who, status,
	   max(CASE WHEN flag = 'plain' AND mode = 'enforce' THEN verdict || ': ' || reason END) AS plain,
	   max(CASE WHEN flag = 'justification' AND mode = 'enforce' THEN verdict || ': ' || reason END) AS "justification required",
	   max(CASE WHEN flag = 'plain' AND mode = 'observe' THEN verdict || CASE WHEN observed THEN ', observed' ELSE '' END END) AS "plain, observe"
FROM judged WHERE relation = 'allows it' AND instead = 'error' AND basis = 'contract' AND state IS NULL AND NOT restricted
GROUP BY who, status ORDER BY who, status;
-- Arguments that are no facts.
\set VERBOSITY sqlstate
SELECT purpose._decide(0, 'd_contract', '', NULL, 'maybe', false, 'enforce');
SELECT purpose._decide(NULL, 'd_contract', '', NULL, NULL, false, 'enforce') IS NULL AS "no role, no decision";

--
-- Several labels of one column, in every order: what refuses comes first; then
-- what redacts, with the stand-in that all that redact agree on, else NULL.
--
CREATE TEMP TABLE kind (kind text, label text);
INSERT INTO kind VALUES ('permits', 'for d_contract'), ('error', 'for d_unrelated'), ('void', 'for d_unrelated else null'),
	('x', 'for d_unrelated else ''x'''), ('y', 'for d_unrelated else ''y'''), ('prohibits', 'for d_contract never d_contract else ''x'''), ('broken', 'for');
SELECT count(*) AS combinations, count(*) FILTER (WHERE d.verdict = 'allow') AS allow, count(*) FILTER (WHERE d.verdict = 'redact') AS redact,
	   count(*) FILTER (WHERE d.verdict = 'deny') AS deny, count(*) FILTER (WHERE d.stand_in IS NOT NULL) AS stand_ins,
	   count(*) FILTER (WHERE d.verdict IS DISTINCT FROM CASE WHEN kinds && '{error,broken}' THEN 'deny'
														 WHEN kinds && '{void,x,y,prohibits}' THEN 'redact' ELSE 'allow' END) AS wrong_verdict,
	   count(*) FILTER (WHERE d.stand_in IS DISTINCT FROM CASE WHEN kinds && '{error,broken,void}' THEN NULL
														  WHEN kinds && '{x,prohibits}' AND NOT kinds && '{y}' THEN 'x'
														  WHEN kinds && '{y}' AND NOT kinds && '{x,prohibits}' THEN 'y' END) AS wrong_stand_in
FROM kind a, kind b, kind c,
	 LATERAL (SELECT ARRAY[a.kind, b.kind, c.kind] AS kinds) k,
	 purpose._decide(0, 'd_contract', '', ARRAY[a.label, b.label, c.label], NULL, false, 'enforce') d;
SELECT d.verdict, d.reason, d.observed, d.label FROM purpose._decide(0, 'd_contract', '',
	ARRAY['for d_contract', 'for d_unrelated else null', 'for d_unrelated'], NULL, false, 'observe') d;
\set VERBOSITY default

\o /dev/null
SELECT purpose.drop_purpose(name) FROM purpose.purposes WHERE name ~ '^d[rj]?_' ORDER BY name DESC;
\o
DROP ROLE regress_purpose_decision_holder, regress_purpose_decision_other, regress_purpose_decision_bypass,
	regress_purpose_decision_super;
