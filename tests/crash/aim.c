/* The aim; see aim.h. */
#include "tests/crash/aim.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "wal/archived.h"
#include "wal/segment_header.h"
#include "wal/snapshot_header.h"

#define EVENT_BYTES 65536

struct hf_aim {
    int watch; /* inotify */
    int end;   /* eventfd: written at close */
    pthread_t thread;

    pthread_mutex_t lock; /* of all below */
    enum hf_moment moment;
    pid_t pid;
    uint64_t delay_ns;
    bool met; /* the server was killed */
    struct hf_sights sights;
};

const char *hf_moment_text(enum hf_moment moment)
{
    static const char *const texts[] = {
#define X(name, text) text,
        HF_MOMENTS(X)
#undef X
    };
    return moment < HF_MOMENT_COUNT ? texts[moment] : "no moment";
}

static bool is_segment_temporary(const char *name)
{
    char segment[HF_SEGMENT_NAME_BYTES];
    uint64_t number;
    snprintf(segment, sizeof segment, "%s", name);
    return hf_segment_name_parse(segment, &number) &&
           strcmp(name + HF_SEGMENT_NAME_BYTES - 1, HF_SEGMENT_TEMPORARY_SUFFIX) == 0;
}

static enum hf_moment moment_of(const struct inotify_event *event)
{
    const char *name = event->len != 0 ? event->name : "";
    uint64_t number;
    bool created = (event->mask & IN_CREATE) != 0, named = (event->mask & IN_MOVED_TO) != 0;
    if (strcmp(name, HF_ARCHIVED_NAME) == 0)
        return named ? HF_MOMENT_ARCHIVED : HF_MOMENT_NEVER;
    if (strcmp(name, HF_SNAPSHOT_TEMPORARY) == 0)
        return created ? HF_MOMENT_SNAPSHOT_BEGUN : HF_MOMENT_NEVER;
    if (is_segment_temporary(name))
        return created ? HF_MOMENT_SEGMENT_BEGUN
               : named ? HF_MOMENT_SEGMENT_RECYCLED
                       : HF_MOMENT_NEVER;
    bool snapshot = hf_snapshot_name_parse(name, &number);
    if (!snapshot && !hf_segment_name_parse(name, &number))
        return HF_MOMENT_NEVER;
    if ((event->mask & IN_DELETE) != 0)
        return HF_MOMENT_FILE_REMOVED;
    if (!named)
        return HF_MOMENT_NEVER;
    return snapshot ? HF_MOMENT_SNAPSHOT_NAMED : HF_MOMENT_SEGMENT_NAMED;
}

static void pause_for(uint64_t duration_ns)
{
    struct timespec pause = {.tv_sec = (time_t)(duration_ns / HF_NS_PER_S),
                             .tv_nsec = (long)(duration_ns % HF_NS_PER_S)};
    while (nanosleep(&pause, &pause) != 0 && errno == EINTR)
        ;
}

/* Kills, if this is the moment. */
static void see(struct hf_aim *aim, const struct inotify_event *event)
{
    enum hf_moment moment = moment_of(event);
    uint64_t number;
    pthread_mutex_lock(&aim->lock);
    aim->sights.count[moment]++;
    aim->sights.segments_removed +=
        moment == HF_MOMENT_FILE_REMOVED && hf_segment_name_parse(event->name, &number);
    bool is_it = moment != HF_MOMENT_NEVER && moment == aim->moment;
    uint64_t delay_ns = aim->delay_ns;
    pthread_mutex_unlock(&aim->lock);
    if (!is_it)
        return;
    pause_for(delay_ns);
    pthread_mutex_lock(&aim->lock);
    if (aim->moment != HF_MOMENT_NEVER && !aim->met)
        aim->met = kill(aim->pid, SIGKILL) == 0;
    aim->moment = HF_MOMENT_NEVER;
    pthread_mutex_unlock(&aim->lock);
}

static void *watch_main(void *context)
{
    struct hf_aim *aim = context;
    static _Thread_local char events[EVENT_BYTES]
        __attribute__((aligned(__alignof__(struct inotify_event))));
    for (;;) {
        struct pollfd waits[] = {{.fd = aim->watch, .events = POLLIN},
                                 {.fd = aim->end, .events = POLLIN}};
        poll(waits, 2, -1);
        if (waits[1].revents != 0)
            return NULL;
        ssize_t count = read(aim->watch, events, sizeof events);
        for (ssize_t at = 0; at < count;) {
            struct inotify_event event;
            memcpy(&event, events + at, sizeof event);
            see(aim, (const struct inotify_event *)(const void *)(events + at));
            at += (ssize_t)(sizeof event + event.len);
        }
    }
}

int hf_aim_open(struct hf_aim **opened, const char *directory)
{
    struct hf_aim *aim = calloc(1, sizeof *aim);
    if (aim == NULL)
        return -ENOMEM;
    int result = -EMFILE;
    aim->end = eventfd(0, EFD_CLOEXEC);
    aim->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    pthread_mutex_init(&aim->lock, NULL);
    if (aim->end < 0 || aim->watch < 0)
        goto close_files;
    result = -ENOENT;
    if (inotify_add_watch(aim->watch, directory, IN_CREATE | IN_MOVED_TO | IN_DELETE) < 0)
        goto close_files;
    result = -pthread_create(&aim->thread, NULL, watch_main, aim);
    if (result != 0)
        goto close_files;
    *opened = aim;
    return 0;
close_files:
    close(aim->watch);
    close(aim->end);
    pthread_mutex_destroy(&aim->lock);
    free(aim);
    return result;
}

void hf_aim_close(struct hf_aim *aim)
{
    eventfd_write(aim->end, 1);
    pthread_join(aim->thread, NULL);
    close(aim->watch);
    close(aim->end);
    pthread_mutex_destroy(&aim->lock);
    free(aim);
}

void hf_aim_at(struct hf_aim *aim, pid_t pid, enum hf_moment moment, uint64_t delay_ns)
{
    pthread_mutex_lock(&aim->lock);
    aim->pid = pid;
    aim->delay_ns = delay_ns;
    aim->met = false;
    aim->moment = moment;
    pthread_mutex_unlock(&aim->lock);
}

bool hf_aim_met(struct hf_aim *aim)
{
    pthread_mutex_lock(&aim->lock);
    bool met = aim->met;
    pthread_mutex_unlock(&aim->lock);
    return met;
}

bool hf_aim_rest(struct hf_aim *aim)
{
    pthread_mutex_lock(&aim->lock);
    bool met = aim->met;
    aim->moment = HF_MOMENT_NEVER;
    aim->met = false;
    pthread_mutex_unlock(&aim->lock);
    return met;
}

void hf_aim_sights(struct hf_aim *aim, struct hf_sights *sights)
{
    pthread_mutex_lock(&aim->lock);
    *sights = aim->sights;
    pthread_mutex_unlock(&aim->lock);
}
