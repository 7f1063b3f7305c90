/* New files; see new_file.h. */
#include "tools/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODE         0666 /* less what umask takes */
#define BUFFER_BYTES (1u << 20)

__attribute__((format(printf, 2, 3))) static bool fail(char error[HF_NEW_FILE_ERROR_BYTES],
                                                       const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, HF_NEW_FILE_ERROR_BYTES, format, arguments);
    va_end(arguments);
    return false;
}

bool hf_new_file_open(struct hf_new_file *file, const char *path,
                      char error[HF_NEW_FILE_ERROR_BYTES])
{
    struct stat status;
    int length = snprintf(file->part, sizeof file->part, "%s.part", path);
    file->out = NULL;
    if (length < 0 || (size_t)length >= sizeof file->part)
        return fail(error, "%.300s: %s", path, strerror(ENAMETOOLONG));
    memcpy(file->path, path, strlen(path) + 1);
    if (lstat(path, &status) == 0)
        return fail(error,
                    "%.300s exists, and nothing is overwritten: choose another name, or "
                    "remove it first",
                    path);
    int descriptor = open(file->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE);
    if (descriptor < 0)
        return errno == EEXIST
                   ? fail(error, "%.300s exists: if nobody is writing it, remove it", file->part)
                   : fail(error, "cannot make %.300s: %s", file->part, strerror(errno));
    file->out = fdopen(descriptor, "w");
    if (file->out != NULL) {
        setvbuf(file->out, NULL, _IOFBF, BUFFER_BYTES);
        return true;
    }
    close(descriptor);
    unlink(file->part);
    return fail(error, "out of memory");
}

/* The directory knows the new name when this has returned. */
static int sync_directory(const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        snprintf(directory, sizeof directory, ".");
    else
        snprintf(directory, sizeof directory, "%.*s", (int)(slash - path + 1), path);
    int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return -errno;
    int result = fsync(descriptor) < 0 ? -errno : 0;
    close(descriptor);
    return result;
}

bool hf_new_file_finish(struct hf_new_file *file, char error[HF_NEW_FILE_ERROR_BYTES])
{
    int result = fflush(file->out) != 0 || ferror(file->out) ? -errno : 0;
    if (result == 0 && fsync(fileno(file->out)) < 0)
        result = -errno;
    if (fclose(file->out) != 0 && result == 0)
        result = -errno;
    file->out = NULL;
    if (result == 0 && renameat2(AT_FDCWD, file->part, AT_FDCWD, file->path, RENAME_NOREPLACE) < 0)
        result = -errno;
    if (result == 0)
        result = sync_directory(file->path);
    if (result == 0)
        return true;
    unlink(file->part);
    return fail(error, "cannot write %.300s: %s", file->path, strerror(-result));
}

void hf_new_file_drop(struct hf_new_file *file)
{
    if (file->out == NULL)
        return;
    fclose(file->out);
    unlink(file->part);
    file->out = NULL;
}
