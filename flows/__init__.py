"""Prefect flows: orchestration only, one flow a file; deployed by module path."""
