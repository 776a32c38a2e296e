"""Pages, figures and tables of runs, sweeps and scored files: `python -m rollout.report`."""
