"""Many runs, few engines, one table; Hydra's launcher."""
