"""What is seen: frozen values and what they mean. Pure; knows no client library, setting or decision."""
