/* Counts what an emulated ARM program executes, by kind of instruction; a plugin of QEMU's user emulation.
 *
 * The few declarations are those of QEMU's plugin interface, versions 1 and 2. Each instruction is decoded once,
 * where QEMU translates it, and counted each time that it runs.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct {
    const char *target_name;
    struct {
        int min;
        int cur;
    } version;
} qemu_info_t; /* its first fields */
struct qemu_plugin_tb;
struct qemu_plugin_insn;

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int op, void *ptr, uint64_t value);
void qemu_plugin_register_vcpu_tb_trans_cb(
    qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t, void *), void *data);
void qemu_plugin_outs(const char *text);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

/* An instruction is of the first kind whose bits under the mask are these. */
static struct {
    const char *name;
    uint32_t mask, bits;
    uint64_t count;
} kinds[] = {
    {"fma_vector", 0xFF60FC00, 0x4E20CC00, 0},       /* fmla, fmls v.4s */
    {"fma_vector", 0xFFC0B400, 0x4F801000, 0},       /* fmla, fmls v.4s, v.s[i] */
    {"fma_half_vector", 0xFF60FC00, 0x0E20CC00, 0},  /* fmla, fmls v.2s */
    {"fma_half_vector", 0xFFC0B400, 0x0F801000, 0},  /* fmla, fmls v.2s, v.s[i] */
    {"fma_scalar", 0xFFC00000, 0x1F000000, 0},       /* fmadd, fmsub, fnmadd, fnmsub of single floats */
    {"mul_scalar", 0xFFE0FC00, 0x1E200800, 0},       /* fmul s */
    {"add_scalar", 0xFFE0FC00, 0x1E202800, 0},       /* fadd s */
    {"mul_vector", 0xFFE0FC00, 0x6E20DC00, 0},       /* fmul v.4s */
    {"add_vector", 0xFFE0FC00, 0x4E20D400, 0},       /* fadd v.4s */
    {"add_vector", 0xFFE0FC00, 0x4EA0D400, 0},       /* fsub v.4s */
    {"stack_vector", 0xFF8003E0, 0x3D8003E0, 0},     /* ldr, str q, [sp, #n] */
    {"stack_vector", 0xFF8003E0, 0xAD0003E0, 0},     /* ldp, stp q, q, [sp, #n] */
    {"sve", 0x1E000000, 0x04000000, 0},              /* all of SVE */
    {"other", 0, 0, 0},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    for (size_t i = 0, n = qemu_plugin_tb_n_insns(tb); i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint32_t word = *(const uint32_t *)qemu_plugin_insn_data(insn);
        size_t kind = 0;
        while ((word & kinds[kind].mask) != kinds[kind].bits) {
            kind++;
        }
        qemu_plugin_register_vcpu_insn_exec_inline(insn, 0 /* add */, &kinds[kind].count, 1);
    }
}

static void told(qemu_plugin_id_t id, void *data)
{
    (void)id, (void)data;
    for (size_t kind = 0; kind < KINDS; kind++) {
        char line[64];
        snprintf(line, sizeof line, "count %s %llu\n", kinds[kind].name, (unsigned long long)kinds[kind].count);
        qemu_plugin_outs(line);
    }
}

__attribute__((visibility("default"))) int qemu_plugin_install(
    qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    (void)argc, (void)argv;
    if (info->version.cur > 2) {
        return -1; /* there, qemu_plugin_insn_data is another function */
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, told, NULL);
    return 0;
}
