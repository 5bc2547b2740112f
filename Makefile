# make run                    install what is missing, start everything, Ctrl-C ends it
# make run ONCE=1             the same on the sample, print the clusters, end
# make run FILE=feedback.csv  that file in place of the sample (SOURCE=manual|reddit|sentry|github says what it holds)
# make test                   everything that is checked: style, types, import rules, the whole test suite
# make tools                  the coding tools that fix things, pinned, into .tools (needs Node.js)
# make checks                 checkov, pinned, into .venv-checks (reads infra/terraform)
# make check                  style, types and import rules alone
# make bench                  the tables of benchmarks/ (needs a quiet machine; peers are installed beside, not into .venv)
# make see-fix                a cluster of the sample becomes a proven draft pull request; no key, no account
# make containers            both images' steps, run in clean Debian systems; needs root, debootstrap and some minutes
# make audit                 asks the advisory databases about every locked version; needs the network
# make screenshots            the pictures in docs/images, from a real browser

.PHONY: run install tools checks check test see-fix bench containers audit screenshots lock

# What is given on the command line reaches the recipe through the environment, unread: it is never pasted into its text.
override FILE := $(value FILE)
export ONCE FILE SOURCE PYTHON

run:
	@infra/install.sh
	@exec .venv/bin/soulcaster up $${ONCE:+--once} $${FILE:+--file "$$FILE"} --source "$${SOURCE:-manual}"

install:
	@LOCK=requirements-dev.lock infra/install.sh

check: install
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

# Three at a time on two cores: a third of a test's time is waiting for processes, pages and other people's clocks.
test:
	@$(MAKE) --no-print-directory --jobs=3 check tools checks
	.venv/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

tools:
	@infra/install-tools.sh

checks: install
	@infra/install-checks.sh

bench: install
	@infra/install-peers.sh
	.venv/bin/python -m benchmarks --peer-python .venv-peers/bin/python

containers: install tools
	CONTAINERS=1 .venv/bin/python -m pytest tests/infra/test_containers.py

# Strict: a package that could not be looked up is a finding too, not a pass.
audit: install
	.venv/bin/uv tool run --from pip-audit==2.10.1 pip-audit --strict --require-hashes --disable-pip -r requirements.lock

see-fix: install tools
	PYTHONPATH=tests .venv/bin/python tests/see_a_fix.py data/see-fix

screenshots: install
	.venv/bin/python tests/app/screenshots.py docs/images

# After a change of pyproject.toml. The locks hold hashes and no address, so pip and uv read them wherever they fetch from.
lock: install
	.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	    --no-header pyproject.toml -o requirements.lock
	.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	    --no-header --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	    --no-header infra/checks.in -o infra/checks.lock
