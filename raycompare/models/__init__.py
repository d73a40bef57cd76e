"""Pretrained checkpoints: loading, heads, LoRA, saving, and what is wrong with one."""
