# The images that the demonstration and the acceptance tests run: the plain one plus overlays, from the same packages.
#
#   demo-image    build/demo: with the demo application
#   test-image    build/test: with the demo application, the tests' agent and the units that misbehave
#   peer          build/peer/initramfs: Debian 12's keepalived, for the image's kernel

RELEASE ?= $(or $(CARGO_TARGET_DIR),target)/x86_64-unknown-linux-gnu/release
VARIANT = $(CARGO) run --quiet --release --locked -p halcyon-image -- --cache $(OUT)/cache \
	--provision-pubkey $(OUT)/keys/provision.pub --overlay $(OUT)/demo-overlay

.PHONY: demo-overlay test-overlay demo-image test-image
demo-overlay:
	$(CARGO) build --release --locked -p nameplate
	rm -rf $(OUT)/demo-overlay
	mkdir -p $(OUT)
	cp -r qemu-tests/overlays/demo $(OUT)/demo-overlay
	install -D -m 755 $(RELEASE)/nameplate $(OUT)/demo-overlay/opt/nameplate/nameplate

# The kernel's modules are where the image builder unpacked the package that it put into the slot.
test-overlay: image demo-overlay
	$(CARGO) build --release --locked -p halcyon-test-agent
	rm -rf $(OUT)/test-overlay
	cp -r qemu-tests/overlays/test $(OUT)/test-overlay
	install -D -m 755 $(RELEASE)/halcyon-test-agent $(OUT)/test-overlay/opt/test/agent
	qemu-tests/peer/build $(OUT) $(OUT)/cache/unpacked/linux-image-* $(RELEASE)

demo-image: image demo-overlay
	$(VARIANT) --out $(OUT)/demo

test-image: test-overlay
	$(VARIANT) --overlay $(OUT)/test-overlay --out $(OUT)/test
