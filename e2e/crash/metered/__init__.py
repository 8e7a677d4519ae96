"""The stage of the tests of metered services: gateways that may be killed, something behind them, buyers, and the
ledger's commands. Only the standard library, one event loop, no test logic here.
"""
