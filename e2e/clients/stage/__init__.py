"""The stage of the end-to-end tests: a running gateway with its loopback node, something behind it, and a wallet.

Only the standard library, so that any interpreter of the tests can import it. No test logic here.
"""
