"""What one thread has while it works on a call: buffers, the rows it is at, and what it found wrong.

Small buffers are kept from call to call, so that most calls allocate nothing; large ones live for one call.
"""
from libc.stdlib cimport free, malloc
from libc.string cimport memset

import threading

from hingefast._kernels.loaded cimport MAX_LOAD, Loaded
from hingefast._kernels.table cimport HF_LINE_BYTES

cdef extern from *:
    """
    #if defined(__linux__)
    #include <sys/mman.h>
    #endif
    /* Memory that begins at a huge page and asks for them, as NumPy does for its arrays: CSR rows read and write large
     * buffers here and there. On news20, 20 classes, all rows active: 2.03 -> 1.72 times SciPy's X @ W.T. Straight from
     * the system, which gets it back at once: malloc may keep what was freed, tens of megabytes of it. `*block` and
     * `*length` are what was mapped; NULL where there is none. */
    static void *hf_map_huge_pages(size_t size, void **block, size_t *length) {
    #if defined(__linux__) && defined(MADV_HUGEPAGE)
        const size_t page = (size_t)1 << 21;
        char *start;
        if (size > SIZE_MAX - 2 * page)
            return NULL;
        size = (size + page - 1) / page * page;
        *length = size + page;
        *block = mmap(NULL, *length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (*block == MAP_FAILED)
            return NULL;
        start = (char *)(((uintptr_t)*block + page - 1) / page * page);
        (void)madvise(start, size, MADV_HUGEPAGE); /* refused: ordinary pages do as well */
        return start;
    #else
        (void)size, (void)block, (void)length;
        return NULL;
    #endif
    }
    static void hf_unmap(void *block, size_t length) {
    #if defined(__linux__)
        munmap(block, length);
    #else
        (void)block, (void)length;
    #endif
    }
    """
    void* hf_map_huge_pages(size_t size, void** memory, size_t* length)
    void hf_unmap(void* memory, size_t length)

# Buffers of so many bytes are worth huge pages.
cdef size_t HUGE_BYTES = 1 << 20
# Bytes that a thread keeps between its calls. Larger buffers are allocated anew for each call: their pages cost a few
# percent of what a call does with so many numbers.
cdef size_t KEPT_BYTES = 4 << 20

_local = threading.local()


cdef void* grow(Buffer* buffer, size_t size) except NULL:
    """Make a buffer at least `size` bytes long; what it held is lost where it grows. It begins at a cache line."""
    cdef void* start = NULL
    if buffer.start != NULL and buffer.size >= size:
        return buffer.start
    drop(buffer)
    if size >= HUGE_BYTES:
        start = hf_map_huge_pages(size, &buffer.memory, &buffer.length)
        buffer.is_mapped = start != NULL
    if start == NULL:
        buffer.memory = malloc(size + HF_LINE_BYTES) if size + HF_LINE_BYTES > size else NULL
        if buffer.memory == NULL:
            raise MemoryError()
        start = <char*>buffer.memory + HF_LINE_BYTES - <size_t>buffer.memory % HF_LINE_BYTES
    buffer.start, buffer.size = start, size
    return start


cdef void drop(Buffer* buffer) noexcept:
    """Free a buffer."""
    if buffer.is_mapped:
        hf_unmap(buffer.memory, buffer.length)
    else:
        free(buffer.memory)
    memset(buffer, 0, sizeof(Buffer))


cdef class Worker:
    """One thread in one call. See the declaration for what its fields mean, and `run.pyx` for who sets them when."""

    def __dealloc__(self):
        for which in range(N_BUFFERS):
            drop(&self.buffers[which])

    cdef void* get(self, int which, size_t size) except NULL:
        """A buffer of at least `size` bytes, no vector of which straddles two cache lines."""
        return grow(&self.buffers[which], size)

    cdef int begin(self, Targets targets, int is_f64, Py_ssize_t width) except -1:
        """Set out on a call."""
        self.targets = targets
        self.is_f64, self.width = is_f64, width
        self.itemsize = 8 if is_f64 else 4
        self.block_rows = MAX_LOAD
        self.loaded = <Loaded*>self.get(LOADED, sizeof(Loaded))
        self.loaded.exponent = 0
        self.fault.kind = 0
        self.grad, self.slots = NULL, NULL
        self.scores_buffer, self.slopes_buffer = self.loaded.score_buffer, self.loaded.slope_buffer
        return 0

    cdef int reserve(self) except -1:
        """Get the buffers of the scores and slopes of a block, whose number of rows is known by now."""
        cdef size_t size = self.block_rows * self.width * self.itemsize
        if self.width > 1:
            self.scores_buffer, self.slopes_buffer = self.get(SCORES, size), self.get(SLOPES, size)
        return 0


cdef Worker borrow_worker():
    """This thread's worker; a new one if a call on this thread is using it (a signal handler's call).

    Nothing is known about what its buffers hold. Who borrows gives back, whatever happens.
    """
    cdef Worker worker
    try:
        worker = _local.worker
    except AttributeError:
        worker = _local.worker = Worker.__new__(Worker)
    if worker.busy:
        worker = Worker.__new__(Worker)
    worker.busy = True
    return worker


cdef void give_back(Worker worker) noexcept:
    """The end of a call: free what is large, keep the rest for the next. None is ignored."""
    cdef size_t kept = 0
    if worker is None:
        return
    for which in range(N_BUFFERS):
        kept += worker.buffers[which].size
        if kept > KEPT_BYTES:
            kept -= worker.buffers[which].size
            drop(&worker.buffers[which])
    worker.targets = None
    worker.busy = False
