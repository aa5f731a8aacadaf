"""Buffers of one thread. Small ones are kept, so that most calls allocate nothing; large ones live for one call."""
from libc.stdlib cimport free, malloc
from libc.string cimport memset

import threading

cdef extern from *:
    """
    #if defined(__linux__)
    #include <sys/mman.h>
    #endif
    /* Memory that begins at a huge page and asks for them, as NumPy does for its arrays: CSR rows read and write large
     * buffers here and there. On news20, 20 classes, all rows active: 2.03 -> 1.72 times SciPy's X @ W.T. Straight from
     * the system, which gets it back at once: malloc may keep what was freed, tens of megabytes of it. Its pages are
     * zero. `*block` and `*length` are what was mapped; NULL where there is none. */
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
    void* hf_map_huge_pages(size_t size, void** block, size_t* length)
    void hf_unmap(void* block, size_t length)

cdef size_t LINE_BYTES = 64
# Buffers of so many bytes are worth huge pages.
cdef size_t HUGE_BYTES = 1 << 20
# Bytes that a thread keeps between its calls. Larger buffers are allocated anew for each call: their pages cost a few
# percent of what a call does with so many numbers.
cdef size_t KEPT_BYTES = 4 << 20

_local = threading.local()


cdef class Scratch:
    """Buffers of one thread. Growing one loses what it held."""

    def __dealloc__(self):
        for which in range(N_BUFFERS):
            self.drop(which)

    cdef void drop(self, int which) noexcept:
        """Free a buffer."""
        if self.is_mapped[which]:
            hf_unmap(self.blocks[which], self.lengths[which])
        else:
            free(self.blocks[which])
        self.blocks[which] = self.buffers[which] = NULL
        self.sizes[which] = 0
        self.is_mapped[which] = False
        self.zero_bytes[which] = 0

    cdef void* get(self, int which, size_t size) except NULL:
        """A buffer of at least `size` bytes that begins at a cache line, so that no vector straddles two."""
        cdef void* start = self.grow(which, size)
        self.zero_bytes[which] = 0   # about to be written to
        return start

    cdef void* zeros(self, int which, size_t size) except NULL:
        """The same with its first `size` bytes zero."""
        cdef void* start = self.grow(which, size)
        if self.zero_bytes[which] < size:
            memset(start, 0, size)
        self.zero_bytes[which] = 0
        return start

    cdef void* grow(self, int which, size_t size) except NULL:
        """The buffer, at least `size` bytes long."""
        cdef void* start = NULL
        if self.sizes[which] < size or self.buffers[which] == NULL:
            self.drop(which)
            if size >= HUGE_BYTES:
                start = hf_map_huge_pages(size, &self.blocks[which], &self.lengths[which])
                if start != NULL:
                    self.is_mapped[which] = True
                    self.zero_bytes[which] = size
            if start == NULL:
                self.blocks[which] = malloc(size + LINE_BYTES) if size + LINE_BYTES > size else NULL
                if self.blocks[which] == NULL:
                    raise MemoryError()
                start = <char*>self.blocks[which] + LINE_BYTES - <size_t>self.blocks[which] % LINE_BYTES
            self.buffers[which] = start
            self.sizes[which] = size
        return self.buffers[which]


cdef Scratch borrow_scratch():
    """This thread's scratch; a new one if a call on this thread is using it (a signal handler's call).

    Nothing is known about what its buffers hold. Who borrows gives back, whatever happens.
    """
    cdef Scratch scratch
    try:
        scratch = _local.scratch
    except AttributeError:
        scratch = _local.scratch = Scratch.__new__(Scratch)
    if scratch.busy:
        scratch = Scratch.__new__(Scratch)
    scratch.busy = True
    memset(scratch.zero_bytes, 0, sizeof(scratch.zero_bytes))
    return scratch


cdef void give_back(Scratch scratch) noexcept:
    """The end of a call: free what is large, keep the rest for the next. None is ignored."""
    cdef size_t kept = 0
    if scratch is None:
        return
    for which in range(N_BUFFERS):
        kept += scratch.sizes[which]
        if kept > KEPT_BYTES:
            kept -= scratch.sizes[which]
            scratch.drop(which)
    scratch.busy = False
