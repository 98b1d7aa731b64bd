-- What a batch whose answer was lost would have answered, and whether a mark was left by its transaction or
-- taken away from it.

ALTER TABLE mark
    ADD COLUMN claimed boolean NOT NULL DEFAULT false,
    ADD COLUMN answer  bigint[];
