"""HTTP: one asyncio.Protocol; all work is done off its loop."""
