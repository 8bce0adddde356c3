-- run: in steps
SELECT fill_months(20000) AS done;
