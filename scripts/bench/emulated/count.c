/* For qemu: counts the instructions of the first core, user and kernel apart, and prints the counts when the
   program `mark` runs. Names what it uses of qemu's plugin interface, version 1 (docs/devel/tcg-plugins). */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*on_block)(uint64_t id, struct qemu_plugin_tb *block);
typedef void (*on_run)(unsigned core, void *data);
enum { NO_REGISTERS = 0 };
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, on_block call);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, on_run call, int registers, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, on_run call, int registers, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t at);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);

#define SEEN_BY_QEMU __attribute__((visibility("default")))
SEEN_BY_QEMU int qemu_plugin_version = 1;

/* Written by the first core alone. */
static uint64_t user, kernel;

static void ran_user(unsigned core, void *instructions) { user += core ? 0 : (uintptr_t)instructions; }
static void ran_kernel(unsigned core, void *instructions) { kernel += core ? 0 : (uintptr_t)instructions; }

static void marked(unsigned core, void *data) {
    fprintf(stderr, "MARK %llu %llu\n", (unsigned long long)user, (unsigned long long)kernel);
}

/* What `mark` executes, and nobody else: nopl 0x6b72616d(%rax,%rax,1). */
static const unsigned char magic[] = {0x0f, 0x1f, 0x84, 0x00, 'm', 'a', 'r', 'k'};

static void translated(uint64_t id, struct qemu_plugin_tb *block) {
    size_t instructions = qemu_plugin_tb_n_insns(block);
    on_run ran = qemu_plugin_tb_vaddr(block) >> 63 ? ran_kernel : ran_user;
    qemu_plugin_register_vcpu_tb_exec_cb(block, ran, NO_REGISTERS, (void *)instructions);
    for (size_t at = 0; at < instructions; at++) {
        struct qemu_plugin_insn *one = qemu_plugin_tb_get_insn(block, at);
        if (qemu_plugin_insn_size(one) == sizeof magic && !memcmp(qemu_plugin_insn_data(one), magic, sizeof magic))
            qemu_plugin_register_vcpu_insn_exec_cb(one, marked, NO_REGISTERS, NULL);
    }
}

SEEN_BY_QEMU int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv) {
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
