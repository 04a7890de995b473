"""What the scripts share. Python's standard library only; check_records needs jsonschema."""
