"""Take frames from cameras: GenICam through any GenTL producer, or a folder of images for replay."""
