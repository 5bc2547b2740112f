# make run                    install what is missing, start everything, Ctrl-C ends it
# make run ONCE=1             the same on the sample, print the clusters, end
# make run FILE=feedback.csv  that file in place of the sample (SOURCE=manual|reddit|sentry|github says what it holds)

.PHONY: run

# What is given on the command line reaches the recipe through the environment, unread: it is never pasted into its text.
override FILE := $(value FILE)
export ONCE FILE SOURCE PYTHON

run:
	@infra/install.sh
	@exec .venv/bin/soulcaster up $${ONCE:+--once} $${FILE:+--file "$$FILE"} --source "$${SOURCE:-manual}"
