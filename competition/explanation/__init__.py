"""Why a network answers as it does: Grad-CAM, occlusion, and where the energy of their maps lies."""
