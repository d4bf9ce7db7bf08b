"""Prove who did what: pure rules of signature, promotion and audit."""
