/* Threads that do their work beside others. */
#ifndef HF_BASE_THREAD_H
#define HF_BASE_THREAD_H

#include <pthread.h>
#include <signal.h>

/* As pthread_create(), for a thread that no signal is given to: those are for the threads that were
 * there before. 0 or -errno. */
static inline int hf_thread_start(pthread_t *thread, void *(*run)(void *), void *context)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(thread, NULL, run, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -result;
}

#endif
