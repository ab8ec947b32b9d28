/* Copyright (c) 2026 rbee.fleet contributors
   GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
   SPDX-License-Identifier: GPL-3.0-or-later

   A stand-in for NVML, as far as we call it. The file that $NVML_STAND_IN names says what there is, one thing a line,
   as words KEY=VALUE; '_' in a value stands for a space:

       library driver=580.65.06 [init=CODE] [hang=FUNCTION]
       gpu name=A_B uuid=GPU-1 pci=00000000:3B:00.0 total=MiB used=MiB [handle=CODE] [memory=CODE] [mig=1] …
       instance …            of the gpu above, in the slot after the last one; slot 0 is always empty
       process pid=4711 memory=MiB   of the gpu or instance above

   A numeric key that is missing, but for handle, memory and init, answers 3, not supported. With -DOLD there is
   no nvmlDeviceGetMemoryInfo_v2, as in drivers before 510. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, UNSUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, LINES = 64, LENGTH = 512 };

typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } Memory2;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { char legacy[16]; unsigned int numbers[5]; char address[32]; } Pci;
typedef struct { unsigned int pid; unsigned long long memory; unsigned int gi, ci; } Process;

static char lines[LINES][LENGTH];
static int count;

static int is(int line, const char *kind) { return !strncmp(lines[line], kind, strlen(kind)); }

static int word(int line, const char *key, char *value, size_t size) {
    char copy[LENGTH], wanted[64];
    snprintf(wanted, sizeof wanted, "%s=", key);
    strcpy(copy, lines[line]);
    for (char *part = strtok(copy, " \n"); part; part = strtok(NULL, " \n"))
        if (!strncmp(part, wanted, strlen(wanted))) {
            snprintf(value, size, "%s", part + strlen(wanted));
            for (; *value; value++) if (*value == '_') *value = ' ';
            return 1;
        }
    return 0;
}

static int number(int line, const char *key, long missing) {
    char value[LENGTH];
    return word(line, key, value, sizeof value) ? atoi(value) : missing;
}

static void enter(const char *function) {
    char value[LENGTH];
    for (int line = 0; line < count; line++)
        if (is(line, "library") && word(line, "hang", value, sizeof value) && !strcmp(value, function))
            for (;;) pause();
}

/* A handle is the number of its line plus one. */
static int line_of(void *handle) { return (int)(long)handle - 1; }

static int text(int line, const char *key, char *buffer, unsigned int size) {
    return word(line, key, buffer, size) ? OK : UNSUPPORTED;
}

static int figure(void *handle, const char *key, unsigned int *value) {
    int found = number(line_of(handle), key, -1);
    *value = found;
    return found < 0 ? UNSUPPORTED : OK;
}

int nvmlInit_v2(void) {
    FILE *file = fopen(getenv("NVML_STAND_IN") ? getenv("NVML_STAND_IN") : "", "r");
    if (!file) return 9;
    for (count = 0; count < LINES && fgets(lines[count], LENGTH, file); count++);
    fclose(file);
    enter("nvmlInit");
    return number(0, "init", OK);
}

int nvmlShutdown(void) { return OK; }

int nvmlSystemGetDriverVersion(char *buffer, unsigned int size) { return text(0, "driver", buffer, size); }

int nvmlDeviceGetCount_v2(unsigned int *found) {
    *found = 0;
    for (int line = 0; line < count; line++) *found += is(line, "gpu");
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **handle) {
    for (int line = 0; line < count; line++)
        if (is(line, "gpu") && !index--) {
            *handle = (void *)(long)(line + 1);
            return number(line, "handle", OK);
        }
    return 2;
}

int nvmlDeviceGetMigMode(void *handle, unsigned int *current, unsigned int *pending) {
    *pending = 0;
    return figure(handle, "mig", current);
}

int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned int *found) { (void)handle; *found = 8; return OK; }

int nvmlDeviceGetMigDeviceHandleByIndex(void *card, unsigned int slot, void **handle) {
    if (!slot--) return NOT_FOUND;
    for (int line = line_of(card) + 1; line < count && !is(line, "gpu"); line++)
        if (is(line, "instance") && !slot--) {
            *handle = (void *)(long)(line + 1);
            return OK;
        }
    return NOT_FOUND;
}

int nvmlDeviceGetName(void *handle, char *buffer, unsigned int size) {
    enter("nvmlDeviceGetName");
    return text(line_of(handle), "name", buffer, size);
}

int nvmlDeviceGetUUID(void *handle, char *buffer, unsigned int size) {
    return text(line_of(handle), "uuid", buffer, size);
}

int nvmlDeviceGetPciInfo_v3(void *handle, Pci *found) {
    return text(line_of(handle), "pci", found->address, sizeof found->address);
}

int nvmlDeviceGetMemoryInfo(void *handle, Memory *found) {
    int line = line_of(handle);
    if (number(line, "memory", OK)) return number(line, "memory", OK);
    found->total = (unsigned long long)number(line, "total", 0) << 20;
    found->used = (unsigned long long)(number(line, "used", 0) + number(line, "reserved", 0)) << 20;
    found->free = found->total - found->used;
    return OK;
}

#ifndef OLD
int nvmlDeviceGetMemoryInfo_v2(void *handle, Memory2 *found) {
    int line = line_of(handle);
    if (found->version != (sizeof *found | 2 << 24)) return 25; /* argument version mismatch */
    if (number(line, "memory", OK)) return number(line, "memory", OK);
    found->total = (unsigned long long)number(line, "total", 0) << 20;
    found->used = (unsigned long long)number(line, "used", 0) << 20;
    found->reserved = (unsigned long long)number(line, "reserved", 0) << 20;
    found->free = found->total - found->used - found->reserved;
    return OK;
}
#endif

int nvmlDeviceGetUtilizationRates(void *handle, unsigned int found[2]) {
    found[1] = 0;
    return figure(handle, "use", found);
}

int nvmlDeviceGetTemperature(void *handle, unsigned int sensor, unsigned int *found) {
    return sensor ? 2 : figure(handle, "celsius", found);
}

int nvmlDeviceGetPowerUsage(void *handle, unsigned int *found) { return figure(handle, "milliwatts", found); }

int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor) {
    *major = number(line_of(handle), "cc", -1) / 10;
    *minor = number(line_of(handle), "cc", -1) % 10;
    return *minor < 0 ? UNSUPPORTED : OK;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned int *room, Process *found) {
    unsigned int there = 0;
    for (int line = line_of(handle) + 1; line < count && is(line, "process"); line++, there++)
        if (there < *room) {
            found[there].pid = number(line, "pid", 0);
            found[there].memory = number(line, "memory", -1) < 0 ? ~0ULL : (unsigned long long)number(line, "memory", 0) << 20;
        }
    int code = there > *room ? TOO_SMALL : OK;
    *room = there;
    return code;
}
