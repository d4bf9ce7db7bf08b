/* fs-mcu: the core as a process, wired to the simulated plant, with its serial line on a pty.
 *
 *   fs-mcu --plant FILE --link PATH [--ppm N] [--kept FILE] [--reset REASON]
 *
 * It acts as a board with capture and compare hardware does: every sensor edge and every due count between two looks
 * at the clock is replayed in order with its own count and instant, so the scheduler's jitter moves no edge.
 * FILE of --kept stands for memory that a reset spares, REASON (power_on, pin, watchdog ...) for the reset register.
 */
#include "core.h"
#include "wires.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define MOVING_WAIT_NS 1000000 /* while the belt runs a part or a speed may be scheduled at any time */
#define STOPPED_WAIT_NS 5000000

struct serial {
    int fd;
    int far_fd; /* kept open: a host that closes its end is no hang-up, its reads come back later */
    const char *link;
    char target[64];
    uint8_t out[CORE_TX];
    size_t out_at, out_length;
};

static volatile sig_atomic_t stop_asked;

static void ask_stop(int signal_number)
{
    (void)signal_number;
    stop_asked = 1;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int fail(const char *what, const char *thing)
{
    fprintf(stderr, "fs-mcu: %s %s: %s\n", what, thing, errno ? strerror(errno) : "refused");
    return 1;
}

/* A new name renamed over the old one: a host that opens the path finds the old line or the new one, never none. */
static int publish(struct serial *s)
{
    char scratch[4096];
    if (snprintf(scratch, sizeof scratch, "%s.%ld", s->link, (long)getpid()) >= (int)sizeof scratch) return -1;
    unlink(scratch);
    return symlink(s->target, scratch) || rename(scratch, s->link);
}

static int serial_open(struct serial *s, const char *link)
{
    struct termios raw;
    s->link = link;
    s->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (s->fd < 0 || grantpt(s->fd) || unlockpt(s->fd) || ptsname_r(s->fd, s->target, sizeof s->target)) return -1;
    s->far_fd = open(s->target, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (s->far_fd < 0 || tcgetattr(s->far_fd, &raw)) return -1;
    cfmakeraw(&raw);
    if (tcsetattr(s->far_fd, TCSANOW, &raw) || fcntl(s->fd, F_SETFL, O_NONBLOCK)) return -1;
    return publish(s);
}

static void serial_close(const struct serial *s)
{
    char target[sizeof s->target];
    ssize_t n = readlink(s->link, target, sizeof target - 1);
    if (n > 0 && !strncmp(target, s->target, (size_t)n)) unlink(s->link); /* unless another MCU took the name */
    close(s->far_fd);
    close(s->fd);
}

/* Write what fits; the rest waits, and the core drops and counts what finds no room behind it. */
static void serial_write(struct serial *s, struct core *core)
{
    for (;;) {
        if (s->out_at == s->out_length) {
            s->out_at = 0;
            s->out_length = core_tx(core, s->out, sizeof s->out);
            if (!s->out_length) return;
        }
        ssize_t n = write(s->fd, s->out + s->out_at, s->out_length - s->out_at);
        if (n <= 0) return;
        s->out_at += (size_t)n;
    }
}

static int random_boot(uint32_t *boot) { return getrandom(boot, sizeof *boot, 0) != sizeof *boot; }

static uint8_t reset_reason(const char *name)
{
    static const char *const names[] = {"power_on", "pin", "host_request", "watchdog", "brown_out", "crash"};
    uint8_t reason = 0;
    while (reason < sizeof names / sizeof *names && strcmp(name, names[reason])) reason++;
    return reason;
}

/* Map the memory that a reset spares; without a file it lasts as long as the process. */
static struct core_retained *kept_open(const char *path)
{
    static struct core_retained kept;
    if (!path) return &kept;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof kept)) return NULL;
    void *mapped = mmap(NULL, sizeof kept, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return mapped == MAP_FAILED ? NULL : mapped;
}

static void run(struct core *core, struct serial *serial, struct wires *wires)
{
    uint8_t in[4096];
    while (!stop_asked) {
        if (wires->restart) { /* as the reset of a board: what waits to be sent is gone, the line stays open */
            uint32_t boot;
            if (random_boot(&boot)) return;
            wires->restart = 0;
            core_start(core, boot, RESET_REASON_HOST_REQUEST, core->kept);
        }
        ssize_t n = read(serial->fd, in, sizeof in);
        /* The clock after the read: what was due before these bytes came is done before they count. */
        wires_advance(wires, core, now_ns());
        if (n > 0) {
            core_rx(core, in, (size_t)n);
            wires_settle(wires, core);
        }
        serial_write(serial, core);
        if (n == (ssize_t)sizeof in) continue;

        int64_t wait = wires->moving ? MOVING_WAIT_NS : STOPPED_WAIT_NS;
        uint64_t due = wires_next_due(wires, core), now = now_ns();
        if (due <= now) continue;
        if (due - now < (uint64_t)wait) wait = (int64_t)(due - now);
        struct timespec timeout = {0, wait};
        struct pollfd wake = {serial->fd, POLLIN, 0};
        if (serial->out_at < serial->out_length) wake.events |= POLLOUT;
        if (ppoll(&wake, 1, &timeout, NULL) < 0 && errno != EINTR) return;
    }
}

int main(int argc, char **argv)
{
    static struct core core;
    static struct serial serial;
    static struct wires wires;
    const char *plant = NULL, *link = NULL, *memory = NULL;
    struct core_retained *kept;
    uint8_t reset = RESET_REASON_POWER_ON;
    uint32_t boot;
    long ppm = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--plant")) plant = argv[i + 1];
        else if (!strcmp(argv[i], "--link")) link = argv[i + 1];
        else if (!strcmp(argv[i], "--ppm")) ppm = strtol(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--kept")) memory = argv[i + 1];
        else if (!strcmp(argv[i], "--reset")) reset = reset_reason(argv[i + 1]);
        else return fail("unknown option", argv[i]);
    }
    if (!plant || !link) {
        fputs("usage: fs-mcu --plant FILE --link PATH [--ppm N] [--kept FILE] [--reset REASON]\n", stderr);
        return 2;
    }
    if (reset > RESET_REASON_CRASH) return fail("no such reset for", link);
    if (!(kept = kept_open(memory))) return fail("cannot keep memory in", memory);
    struct sigaction stop = {.sa_handler = ask_stop};
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    signal(SIGHUP, SIG_IGN);
    if (wires_open(&wires, plant, now_ns())) return fail("cannot use plant", plant);
    if (wires_spring(&wires)) return fail("cannot start the spring of", plant);
    if (random_boot(&boot) || getrandom(&wires.tick_offset, 4, 0) != 4)
        return fail("no random number for", link);
    wires.ppm = ppm;
    if (serial_open(&serial, link)) return fail("cannot open a pty at", link);
    prctl(PR_SET_TIMERSLACK, 1000ul); /* ns; the default of 50 us would show in the edges */
    core_start(&core, boot, reset, kept);
    run(&core, &serial, &wires);
    serial_close(&serial);
    wires_close(&wires);
    return 0;
}
