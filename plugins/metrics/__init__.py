"""Bundled metrics: functions of the weights of the cases."""
