"""Measurements that anyone can repeat: one command each, a dated page each."""
