"""The contract that crosses floors: settings, plan, record, objectives, paths and storage of a sweep."""
