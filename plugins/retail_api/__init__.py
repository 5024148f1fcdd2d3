"""The FastAPI app that the plugin mounts at `/retail`."""
