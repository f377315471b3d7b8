# Bartizan: `make help` lists the targets. Needed: git, Go 1.26, gcc (for the race detector); Node 20 for the tests' npm client.
# Everything that is built or fetched lands in bin/ and .cache/.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO       ?= go
BIN      := bin/bartizan
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -X main.version=$(VERSION)
# Only `bartizan hunt` needs C (DuckDB). CGO=0 leaves it out, and the file runs on every Linux of its architecture.
CGO      ?= $(if $(shell command -v $${CC:-gcc} && command -v $${CXX:-g++}),1,0)
JOBS     ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$(( n < 8 ? n : 8 )))
GO_DIRS  := $(wildcard cmd internal content e2e bench web scripts)

PREFIX      ?= /usr/local
UNITDIR     ?= /etc/systemd/system
SYSUSERSDIR ?= /usr/lib/sysusers.d
DATADIR     := /var/lib/bartizan
CONFDIR     := /etc/bartizan

# Test programs that are unpacked rather than installed (scripts/install-test-tools.sh).
export PATH := $(CURDIR)/.cache/bin:$(PATH)
export GOTOOLCHAIN := local

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/bartizan (CGO=0: one static file, without hunt)
	CGO_ENABLED=$(CGO) $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/bartizan

.PHONY: up
up: build ## build and start a node on this machine (observe mode)
	./$(BIN) up

# --- installing -------------------------------------------------------------

.PHONY: install
install: build ## install the binary and the systemd unit (DESTDIR, PREFIX)
	install -D -m 0755 $(BIN) '$(DESTDIR)$(PREFIX)/bin/bartizan'
	install -D -m 0644 packaging/systemd/bartizan.service '$(DESTDIR)$(UNITDIR)/bartizan.service'
	install -D -m 0644 packaging/sysusers/bartizan.conf '$(DESTDIR)$(SYSUSERSDIR)/bartizan.conf'
	sed -i 's|/usr/local/bin/bartizan|$(PREFIX)/bin/bartizan|' '$(DESTDIR)$(UNITDIR)/bartizan.service'
	[ -d '$(DESTDIR)$(CONFDIR)' ] || install -d -m 0700 '$(DESTDIR)$(CONFDIR)'
	@if [ -z '$(DESTDIR)' ]; then \
	  if command -v systemd-sysusers >/dev/null; then systemd-sysusers '$(SYSUSERSDIR)/bartizan.conf'; fi; \
	  if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi; \
	  echo 'installed; start with: systemctl enable --now bartizan'; \
	fi

.PHONY: uninstall
uninstall: ## remove what install put there; the data folder stays
	@if [ -z '$(DESTDIR)' ] && [ -d /run/systemd/system ]; then systemctl disable --now bartizan 2>/dev/null || true; fi
	rm -f '$(DESTDIR)$(PREFIX)/bin/bartizan' '$(DESTDIR)$(UNITDIR)/bartizan.service' '$(DESTDIR)$(SYSUSERSDIR)/bartizan.conf'
	@if [ -z '$(DESTDIR)' ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
	@echo 'removed; kept: the data folder $(DESTDIR)$(DATADIR), /etc/default/bartizan, $(DESTDIR)$(CONFDIR) and the accounts bartizan-decoy and bartizan-keeper'

# --- checking ---------------------------------------------------------------

.PHONY: lint
lint: ## gofmt, go vet, shell syntax, systemd unit
	@bad=$$(gofmt -l $(GO_DIRS)); if [ -n "$$bad" ]; then echo "not gofmt'ed (run: gofmt -w FILE):"; echo "$$bad"; exit 1; fi
	$(GO) vet ./...
	@for s in scripts/*.sh .ci/run; do bash -n "$$s"; done
	@scripts/check-unit.sh

.PHONY: lint-full
lint-full: lint ## the above and golangci-lint (built once, about 70 CPU seconds)
	scripts/golangci.sh run ./...

.PHONY: test
test: ## install what the tests need, then everything a change must pass
	@scripts/test.sh

.PHONY: unit
unit: ## unit tests with the race detector, nothing else
	scripts/test.sh unit

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (10m)
	FUZZTIME=$${FUZZTIME:-10m} scripts/fuzz.sh

.PHONY: bench
bench: build ## figures of the node, the enforcer, the decoys and the whole loop (DRILLS), as root
	@code=0; \
	echo '=== node: start and memory'; $(GO) run ./bench/node -bin $(BIN) || code=1; \
	echo '=== nft: ratios to what it may take'; $(GO) test -run '^$$' -bench . -benchtime $${BENCHTIME:-3x} -timeout 30m ./bench/nft || code=1; \
	echo '=== decoys: ratio to a minimal loop'; $(GO) run ./bench/decoy || code=1; \
	echo '=== lake: ratio to bare parquet-go, size'; $(GO) run ./bench/lake || code=1; \
	echo '=== flows: ratios to DuckDB, which is installed into .cache'; $(GO) run ./bench/flows || code=1; \
	echo '=== crowdsec: ratios to CrowdSec on an nginx log; Debian’s package is unpacked into .cache'; $(GO) run ./bench/crowdsec || code=1; \
	echo '=== lookup: ratios to a bare filter and to bart, memory'; $(GO) run ./bench/lookup || code=1; \
	echo '=== hunt: questions about ten million rows (kept in .cache/hunt)'; $(GO) run ./bench/hunt -bin $(BIN) || code=1; \
	echo '=== sigma: ratios to sigma-go, to 100 rules, to decompression'; $(GO) run ./bench/sigma || code=1; \
	echo '=== gateway: ratios to httputil.ReverseProxy (wrk), streams, memory'; $(GO) run ./bench/gateway -bin $(BIN) || code=1; \
	echo '=== drill: sensor to dropped packet, release'; ./$(BIN) drill --self --runs $${DRILLS:-20} || code=1; \
	exit $$code

.PHONY: soak
soak: build ## the long forms: the unit under systemd, real tools as sources, 200 kills, 200 drills, an hour of traffic (SOAKTIME, BARTIZAN_KILLS, DRILLS)
	scripts/unit-systemd.sh
	scripts/real-sources.sh
	BARTIZAN_SOAK=1 BARTIZAN_KILLS=$${BARTIZAN_KILLS:-200} SOAKTIME=$${SOAKTIME:-1h} $(GO) test -count=1 -v -timeout 4h ./e2e/...
	BARTIZAN_KILLS=$${BARTIZAN_KILLS:-100} $(GO) test -count=1 -v -run Kill -timeout 1h ./internal/lake
	BARTIZAN_MOTO=1 BARTIZAN_HEC=1 scripts/install-test-tools.sh
	BARTIZAN_HEC=1 $(GO) test -count=1 -v -run OpenTelemetry ./internal/export/hec
	BARTIZAN_MOTO=1 $(GO) test -count=1 -v -timeout 10m ./internal/lake/bucket ./internal/source/transport/sqs
	./$(BIN) drill --self --runs $${DRILLS:-200}

.PHONY: accuracy
accuracy: ## what the detectors find and miss on labelled data (skips what is not there)
	BARTIZAN_FULL=1 $(GO) test -count=1 -v -run 'Accuracy' -timeout 30m ./internal/... ./bench/...

.PHONY: model
model: ## train the guard's injection classifier (needs BARTIZAN_SHARED; one thread, one seed, the same bytes)
	GOMAXPROCS=1 $(GO) run ./bench/guardmodel

.PHONY: clean
clean: ## remove bin/ and .cache/
	rm -rf bin .cache
