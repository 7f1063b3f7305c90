/*
 * File systems that only the calling process, and those it starts, can see: what a test needs that
 * wants one that is small, or has no direct I/O. They are gone when the process is.
 */
#ifndef HF_TESTS_LIB_PRIVATE_MOUNT_H
#define HF_TESTS_LIB_PRIVATE_MOUNT_H

/*
 * Mounts `type` ("ramfs", which refuses O_DIRECT; "tmpfs", with options such as "size=1m") over the
 * directory. The process gets mounts of its own with it. 0; or -errno where it may not, who is not
 * root or is in a container: the test is skipped then.
 */
int hf_private_mount(const char *type, const char *options, const char *directory);

/* Takes it away, with all that is in it. 0 or -errno. */
int hf_private_unmount(const char *directory);

#endif
