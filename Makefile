# The targets that people and CI use. `make test` is the README's test command.
GO ?= go
# How much each fuzz target runs: a time, or, as in CI, where nothing may depend on speed, a number of inputs (10000x).
FUZZTIME ?= 60s
SIMTIME ?= 300
SIMSEEDS ?= 1-2000
REVISION := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
LDFLAGS := -X main.revision=$(REVISION)

.PHONY: build test gates bugs fuzz sim cross lint nightly bench-table

# One static binary, the same bytes from the same source wherever it is built.
build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/prime ./cmd/prime

# Vet, format, the rules of the house, and every test under the race detector.
test:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go' 2>/dev/null || find . -name '*.go')); \
		if [ -n "$$unformatted" ]; then echo "gofmt would change: $$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) test -race -timeout 30m ./...

# What attacks and absences may cost, in virtual time. Under the race detector, in `make test`, these worlds would take too long.
gates:
	$(GO) test -timeout 30m ./sim -run 'TestPaper|TestExperimentOverDatagrams|TestReconciliation|TestHidingAtOneSite|TestRepairBytes|TestBoundIsHeld|TestLongAbsences|TestComingBack|TestWideAreaWorlds|TestFloodOfEveryKind|TestCheckpointsWithLiars'

# Every planted bug, in every way that it has to be found; `make test` takes a fifth of them.
bugs:
	PRIME_EVERY_BUG=1 $(GO) test -timeout 90m ./sim -run 'TestPlantedBugs|TestDefectiveRules|TestBugsCanBePlanted'

# Every fuzz target for FUZZTIME each; `make nightly` gives them a minute.
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "--- $$pkg $$target $(FUZZTIME)"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x -parallel 2 $$pkg; \
		done; \
	done

# As many hostile worlds as fit SIMTIME seconds, of the seeds 1-2000; and, in a quarter of that time, worlds whose replicas are
# durable, fall and start again.
sim: build
	bin/prime sim --seeds $(SIMSEEDS) --for $(SIMTIME)s
	bin/prime sim --seeds $(SIMSEEDS) --for $$(( $(SIMTIME) / 4 ))s --disks

# Everything must build for the systems that we promise, without cgo.
cross:
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -o /dev/null ./cmd/prime
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) build -o /dev/null ./cmd/prime

# Heavier linters, for those who have them.
lint:
	golangci-lint run

nightly: test gates bugs cross
	$(MAKE) fuzz FUZZTIME=60s
	$(MAKE) sim SIMSEEDS=1-20000 SIMTIME=3600

# The table of docs/performance.md, about a quarter of an hour on an idle machine.
bench-table: build
	bin/prime bench --table
