# What people and CI run. `make demo` and `make test` are all a newcomer needs.

CARGO ?= cargo
# release for people; `make demo PROFILE=dev DEMO_FLAGS=--fast` is what CI runs.
PROFILE ?= release
DEMO_FLAGS ?=

.PHONY: help demo test check bench

help:
	@echo "make demo    build orca and watch a good release, a bad one and an abandoned one"
	@echo "make test    install what the tests need, then run all of them"
	@echo "make check   formatting and lints"
	@echo "make bench   benchmarks, one after the other"

demo:
	$(CARGO) run --locked --profile $(PROFILE) -- demo $(DEMO_FLAGS)

test:
	./scripts/setup-tests.sh
	$(CARGO) test --locked

check:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

bench:
	@set -e; for bench in scripts/bench/*.sh; do \
		[ -e "$$bench" ] || { echo "no benchmark in scripts/bench"; exit 2; }; \
		echo "== $$bench"; bash "$$bench"; \
	done
