"""Many runs, few engines, one table."""
