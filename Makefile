# Every target sets up what it needs, once, and says what it is doing. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup engine lab lab-down demo lint unit molecule bench snapshots test acceptance build clean
export PATH := $(CURDIR)/.venv/bin:$(PATH)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

setup: ## make .venv and unpack the collections that this one depends on
	@tools/setup

engine: ## have a container engine answer
	@tools/engine up

lab: setup engine ## create the lab's hosts (LAB_CONNECTION=ssh to reach them by SSH)
	@ansible-playbook molecule/shared/create.yml

lab-down: setup ## remove the lab's hosts, network, keys and secrets; stop the engine if it was started here
	@tools/lab_down

demo: ## from bare hosts to an answered vector search
	@tools/demo

lint: setup ## every linter
	@tools/lint

unit: setup ## the unit tests
	@pytest -q tests/unit

molecule: setup engine ## one scenario: make molecule SCENARIO=default
	@tools/scenario $(SCENARIO)

bench: lab ## the figures, as ratios
	@tools/bench

snapshots: lab ## take the stored snapshots of the five histories anew
	@. tools/lab_urls && python tests/integration/histories.py

test: ## what CI runs: lint, unit tests, every scenario in its CI size
	@tools/test ci

acceptance: ## everything at full size
	@tools/test acceptance

build: setup ## the collection's tarball, in dist/
	@rm -rf dist && ansible-galaxy collection build --output-path dist

clean: lab-down ## also remove the lab's images, .venv and caches
	@docker images -q pgsteward-lab 2>/dev/null | sort -u | xargs -r docker rmi -f >/dev/null
	@rm -rf .venv .cache dist
