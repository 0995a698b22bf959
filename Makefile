LOCK = uv pip compile -q --universal --fork-strategy fewest --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11

lock: ## Resolve both lock files again from pyproject.toml
	$(LOCK) pyproject.toml -o requirements.lock
	$(LOCK) --extra dev --extra notebook -c requirements.lock pyproject.toml -o requirements-dev.lock
