# dsat: everything a person or CI does starts here. `make run` and `make test` are all a newcomer needs.
SHELL    := /bin/sh
GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -X github.com/dsat/dsat/web/control.release=$(VERSION)
LINT     := .cache/golangci-lint-v2.15.0
PACKAGES := gcc pkg-config libzmq3-dev python3-zmq

.PHONY: run test build race lint fmt bench ci smoke soak vm fuzz clean deps

run: build
	@sh etc/run.sh bin/dsatd start etc/probe.toml

test: build
	$(GO) test ./...

build: deps
	@echo "building bin/dsatd"
	@$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/dsatd ./cmd/dsatd
	@echo "building bin/dsatctl"
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/dsatctl ./cmd/dsatctl

race: build
	$(GO) test -race ./...

lint: deps $(LINT)
	$(GO) vet ./...
	$(LINT) run ./...

fmt:
	gofmt -w $$(git ls-files '*.go')

# Comparisons with floors and peers, interleaved; writes docs/bench/.
bench: build
	$(GO) run ./cmd/dsat-bench

# What must hold before anything lands: format, generated files, lint, every test with the race detector, the main job once.
ci: build lint
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt-ed:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) mod verify
	$(GO) mod tidy -diff
	$(GO) test -race -timeout 20m ./...
	$(GO) test -run Forest ./supervisor -trees 10000
	$(GO) test -run TestPlansMakeTheNewOfTheOld ./topology -pairs 100000
	$(GO) test -run TestLives ./bus/journal -rapid.checks 10000
	$(GO) test -run TestKilledWriters ./bus/journal -kills 1000
	$(GO) test -run TestTrackerKeepsItsPromises ./bus
	$(GO) test -timeout 20m -run TestKilledWithDurableQueues ./cmd
	$(MAKE) --no-print-directory smoke

# The main job, end to end, short: start, kill -9, restart, scrape, down.
smoke: build
	sh etc/smoke.sh

# dsatd with durable queues killed 10,000 times under load, and a process that writes to a journal as often, with the loss of power after every
# second time: nothing acknowledged may be missing. About half an hour.
soak: build
	$(GO) test -timeout 1h -run TestKilledWriters -v ./bus/journal -kills 10000
	$(GO) test -timeout 3h -run TestKilledWithDurableQueues -v ./cmd -kills 10000

# Limits by control groups, where this machine cannot enforce them: the tests that skip here, on a machine of their own (etc/vm.sh; it
# wants qemu, and is fast with /dev/kvm). Nothing else needs it.
vm: build
	@command -v qemu-system-x86_64 >/dev/null || { echo "make vm wants qemu: apt-get install --no-install-recommends qemu-system-x86 busybox-static cpio"; exit 1; }
	@mkdir -p .cache/vm/bin
	@cp bin/dsatd bin/dsatctl .cache/vm/bin/
	$(GO) build -o .cache/vm/bin/ ./cmd/dsat-ledger
	$(GO) test -c -o .cache/vm/bin/supervisor.test ./supervisor
	$(GO) test -c -o .cache/vm/bin/cmd.test ./cmd
	sh etc/vm.sh sh etc/vmtest.sh

clean:
	rm -rf bin .cache

deps:
	@GO="$(GO)" sh etc/deps.sh $(PACKAGES)

$(LINT):
	@echo "building golangci-lint (once, about a minute)"
	@mkdir -p .cache
	@cd / && GOBIN=$(CURDIR)/.cache GOFLAGS= $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	@mv .cache/golangci-lint $(LINT)
