"""Estimate scored rows, select among them and write them in trainers' formats."""
