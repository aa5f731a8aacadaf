/* rivals.h - which class has the largest key: the steps for which AVX-512 has instructions, and plain ones.
 *
 * Included once for float32 and once for float64. A maximum has no rounding, so the order of comparisons is free; ties go
 * to the lowest class everywhere. `poison` holds keys times zero: not zero where one is infinite or NaN.
 */

/* From the best key of each of 16 lanes, and the line that it comes from: the lowest class with the largest key; -1 where
 * `poison` is not all zero. */
#if HF_HAVE_GATHER && defined(HF_REAL_IS_F64)
HF_INLINE int32_t FN(merge_rivals)(const FN(part) *best, const FN(part_bits) *line, const FN(part) *poison) {
    const __m512i lane = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0), eight = _mm512_set1_epi64(8);
    const __m512d low = (__m512d)best[0], high = (__m512d)best[1];
    const __m512d top = _mm512_set1_pd(_mm512_reduce_max_pd(_mm512_max_pd(low, high)));
    const __m512i at_low = _mm512_add_epi64((__m512i)line[0], lane);
    const __m512i at_high = _mm512_add_epi64(_mm512_add_epi64((__m512i)line[1], lane), eight);
    const __m512i none = _mm512_set1_epi64(-1);
    const __m512i of_low = _mm512_mask_mov_epi64(none, _mm512_cmp_pd_mask(low, top, _CMP_EQ_OQ), at_low);
    const __m512i of_high = _mm512_mask_mov_epi64(none, _mm512_cmp_pd_mask(high, top, _CMP_EQ_OQ), at_high);
    const int32_t at = (int32_t)_mm512_reduce_min_epu64(_mm512_min_epu64(of_low, of_high));
    return _mm512_reduce_add_pd((__m512d)(poison[0] + poison[1])) == 0 ? at : -1;
}
#elif HF_HAVE_GATHER
HF_INLINE int32_t FN(merge_rivals)(const FN(part) *best, const FN(part_bits) *line, const FN(part) *poison) {
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512 keys = (__m512)best[0], top = _mm512_set1_ps(_mm512_reduce_max_ps(keys));
    const __mmask16 on_top = _mm512_cmp_ps_mask(keys, top, _CMP_EQ_OQ);
    const int32_t at =
        (int32_t)_mm512_mask_reduce_min_epu32(on_top, _mm512_add_epi32((__m512i)line[0], lane));
    return _mm512_reduce_add_ps((__m512)poison[0]) == 0 ? at : -1;
}
#else
HF_INLINE int32_t FN(merge_rivals)(const FN(part) *best, const FN(part_bits) *line, const FN(part) *poison) {
    enum { N = HF_VALUE_LANES };
    real key[N], sum = 0;
    FN(bit_pattern) line_of[N];
    int lowest = 0;
    for (int p = 0; p < N / PART_LANES; p++) {
        real lane[PART_LANES];
        FN(store_part)(key + p * PART_LANES, best[p]);
        FN(store_part)(lane, poison[p]);
        memcpy(line_of + p * PART_LANES, &line[p], sizeof line[p]);
        for (int k = 0; k < PART_LANES; k++)
            sum += lane[k];
    }
    for (int k = 1; k < N; k++) {
        const int better = (key[k] > key[lowest]) |
                           ((key[k] == key[lowest]) &
                            (line_of[k] + (FN(bit_pattern))k < line_of[lowest] + (FN(bit_pattern))lowest));
        lowest = better ? k : lowest;
    }
    return sum == 0 ? (int32_t)line_of[lowest] + lowest : -1;
}
#endif

/* Rivals of 4 to 32 rows of 4 to 31 classes: keys other than that of columns[i] whose value is largest. A register holds
 * four classes of several rows; the last of either end at the last class or row and may be met twice. Returns 0 where a key is not
 * finite, and then nothing holds. O(n_rows * n_classes). */
#if HF_HAVE_GATHER && defined(HF_REAL_IS_F64)
HF_INLINE int FN(find_rivals_in_quads)(const real *keys, const int32_t *columns, ptrdiff_t n_rows,
                                       ptrdiff_t n_classes, int32_t *rivals) {
    const __m512i quad = _mm512_set_epi64(3, 2, 1, 0, 3, 2, 1, 0);
    __m512d poison = _mm512_setzero_pd();
    for (ptrdiff_t first = 0; first < n_rows; first += 2) {
        const ptrdiff_t i = first + 2 <= n_rows ? first : n_rows - 2;
        const real *x0 = keys + i * n_classes, *x1 = x0 + n_classes;
        const __m512i own =
            _mm512_inserti64x4(_mm512_set1_epi64(columns[i]), _mm256_set1_epi64x(columns[i + 1]), 1);
        __m512d best = _mm512_set1_pd(-INFINITY);
        __m512i at = _mm512_setzero_si512();
        for (ptrdiff_t j = 0; j < n_classes; j += 4) {
            const ptrdiff_t from = j + 4 <= n_classes ? j : n_classes - 4;
            const __m512d x = _mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_loadu_pd(x0 + from)),
                                                 _mm256_loadu_pd(x1 + from), 1);
            const __m512i class = _mm512_add_epi64(_mm512_set1_epi64(from), quad);
            const __mmask8 better =
                _mm512_mask_cmp_pd_mask(_mm512_cmpneq_epi64_mask(class, own), x, best, _CMP_GT_OQ);
            poison = _mm512_add_pd(poison, _mm512_mul_pd(x, _mm512_setzero_pd()));
            best = _mm512_mask_mov_pd(best, better, x);
            at = _mm512_mask_mov_epi64(at, better, class);
        }
        HF_UNROLL
        for (int step = 0; step < 2; step++) { /* with the neighbour, then with the other two of the quad */
            const __m512d x = step ? _mm512_permutex_pd(best, 0x4E) : _mm512_permute_pd(best, 0x55);
            const __m512i class = step ? _mm512_permutex_epi64(at, 0x4E) : _mm512_shuffle_epi32(at, 0x4E);
            const __mmask8 tied = _mm512_cmp_pd_mask(x, best, _CMP_EQ_OQ);
            const __mmask8 better = (__mmask8)(_mm512_cmp_pd_mask(x, best, _CMP_GT_OQ) |
                                               _mm512_mask_cmplt_epi64_mask(tied, class, at));
            best = _mm512_mask_mov_pd(best, better, x);
            at = _mm512_mask_mov_epi64(at, better, class);
        }
        rivals[i + 1] = (int32_t)_mm256_extract_epi64(_mm512_extracti64x4_epi64(at, 1), 0);
        rivals[i] = (int32_t)_mm_cvtsi128_si64(_mm512_castsi512_si128(at));
    }
    return _mm512_reduce_add_pd(poison) == 0;
}
#elif HF_HAVE_GATHER
HF_INLINE int FN(find_rivals_in_quads)(const real *keys, const int32_t *columns, ptrdiff_t n_rows,
                                       ptrdiff_t n_classes, int32_t *rivals) {
    const __m512i quad = _mm512_set_epi32(3, 2, 1, 0, 3, 2, 1, 0, 3, 2, 1, 0, 3, 2, 1, 0);
    const __m512i row = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    __m512 poison = _mm512_setzero_ps();
    for (ptrdiff_t first = 0; first < n_rows; first += 4) {
        const ptrdiff_t i = first + 4 <= n_rows ? first : n_rows - 4;
        const real *x0 = keys + i * n_classes, *x1 = x0 + n_classes, *x2 = x1 + n_classes,
                   *x3 = x2 + n_classes;
        const __m128i columns_of = _mm_loadu_si128((const __m128i *)(const void *)(columns + i));
        const __m512i own = _mm512_permutexvar_epi32(row, _mm512_castsi128_si512(columns_of));
        __m512i at = _mm512_setzero_si512();
        __m512 best = _mm512_set1_ps(-INFINITY);
        for (ptrdiff_t j = 0; j < n_classes; j += 4) {
            const ptrdiff_t from = j + 4 <= n_classes ? j : n_classes - 4;
            const __m256 low = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(x0 + from)),
                                                    _mm_loadu_ps(x1 + from), 1);
            const __m256 high = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(x2 + from)),
                                                     _mm_loadu_ps(x3 + from), 1);
            const __m512 key = _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
            const __m512i class = _mm512_add_epi32(_mm512_set1_epi32((int32_t)from), quad);
            const __mmask16 better =
                _mm512_mask_cmp_ps_mask(_mm512_cmpneq_epi32_mask(class, own), key, best, _CMP_GT_OQ);
            poison = _mm512_add_ps(poison, _mm512_mul_ps(key, _mm512_setzero_ps()));
            best = _mm512_mask_mov_ps(best, better, key);
            at = _mm512_mask_mov_epi32(at, better, class);
        }
        HF_UNROLL
        for (int step = 0; step < 2; step++) { /* with the neighbour, then with the other two of the quad */
            const __m512 key = step ? _mm512_permute_ps(best, 0x4E) : _mm512_permute_ps(best, 0xB1);
            const __m512i class = step ? _mm512_shuffle_epi32(at, 0x4E) : _mm512_shuffle_epi32(at, 0xB1);
            const __mmask16 tied = _mm512_cmp_ps_mask(key, best, _CMP_EQ_OQ);
            const __mmask16 better = (__mmask16)(_mm512_cmp_ps_mask(key, best, _CMP_GT_OQ) |
                                                 _mm512_mask_cmplt_epi32_mask(tied, class, at));
            best = _mm512_mask_mov_ps(best, better, key);
            at = _mm512_mask_mov_epi32(at, better, class);
        }
        _mm_storeu_si128((__m128i *)(void *)(rivals + i),
                         _mm512_castsi512_si128(_mm512_maskz_compress_epi32(0x1111, at)));
    }
    return _mm512_reduce_add_ps(poison) == 0;
}
#else
HF_INLINE int FN(find_rivals_in_quads)(const real *keys, const int32_t *columns, ptrdiff_t n_rows,
                                       ptrdiff_t n_classes, int32_t *rivals) {
    (void)keys, (void)columns, (void)n_rows, (void)n_classes, (void)rivals;
    return 0; /* never called: rival_margins turns the rows over instead */
}
#endif
