# The common tasks; plain `make` lists them.
FILE ?= data/images/receipt_000.png
TESTS ?=

.PHONY: help setup read test lint docs wheel bench

help: ## list these targets
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1|\2/p' Makefile | awk -F '|' '{ printf "%-12s %s\n", $$1, $$2 }'

setup: ## install everything into .venv
	@bash -c 'source runs/setup.sh'

read: ## read an image or PDF (FILE=report.pdf)
	@bash runs/read.sh $(FILE)

test: ## run the tests (TESTS="tests/model -k cache" for some of them)
	@bash runs/test.sh $(TESTS)

lint: ## check style, formatting and types
	@bash runs/lint.sh

docs: ## build the documentation site, and test its links and commands
	@bash runs/docs.sh
	@bash runs/test.sh tests/project/test_readme.py

wheel: ## build the wheel and test it in an empty environment
	@bash runs/wheel.sh

bench: ## measure the speed of training and reading
	@bash -c 'source runs/setup.sh && uv run python -m dev.bench'
