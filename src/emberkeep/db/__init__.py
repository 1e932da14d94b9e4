"""The database: tables, transactions and statements.  The only place that knows SQL."""
